"""What a handler function is written against: the contract with the poller. Standard library only."""

from datahub_handler.errors import DoNotRetry, Retryable

__all__ = ["DoNotRetry", "Retryable"]
