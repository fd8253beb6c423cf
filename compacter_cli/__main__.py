"""`python -m compacter_cli`: the same program as `compacter`."""

from compacter_cli.main import main

main()
