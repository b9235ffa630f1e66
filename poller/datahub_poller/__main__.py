"""`python -m datahub_poller`: the command."""

from datahub_poller.cli import main

main()
