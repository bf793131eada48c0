"""Frameworks, each in a process of its own: what a process is asked, its adapters and its trainers."""
