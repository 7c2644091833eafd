"""The program `lstm-engine`: one module per command, imported only when it is called (docs/cli.md)."""
