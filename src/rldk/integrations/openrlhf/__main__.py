"""`python -m rldk.integrations.openrlhf COMMAND FLAGS`: see the launcher."""

from rldk.integrations.openrlhf.launcher import main

main()
