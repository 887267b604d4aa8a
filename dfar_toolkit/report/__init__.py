"""Tables of estimates as Markdown, HTML and JSON; computes nothing."""
