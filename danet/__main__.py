"""`python -m danet` is the same as `danet`."""

from danet_cli.main import main

main()
