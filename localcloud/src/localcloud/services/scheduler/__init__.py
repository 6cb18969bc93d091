"""EventBridge Scheduler, localcloud's own implementation: expressions, state, API, engine, and delivery to targets."""
