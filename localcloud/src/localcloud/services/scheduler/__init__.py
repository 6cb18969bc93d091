"""EventBridge Scheduler, wholly localcloud's own: expressions, state, API, engine, and delivery to targets."""
