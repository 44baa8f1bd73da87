"""Make executions durable: settle and queue in one transaction, run segments, take over from workers that died."""
