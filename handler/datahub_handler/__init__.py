"""What a handler function is written against: the contract with the poller. Standard library only."""
