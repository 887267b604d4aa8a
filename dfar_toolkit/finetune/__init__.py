"""Models trained on items: classical ones that need no accelerator."""
