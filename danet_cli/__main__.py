"""`python -m danet_cli`: the `danet` command."""

from danet_cli.main import main

main()
