"""The federation's subcommands of ``datalab``."""
