"""EventBridge Scheduler: expressions, the API over MiniStack's stores, the engine, and delivery to targets."""
