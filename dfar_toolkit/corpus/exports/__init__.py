"""Items, reasons and verdicts as files that training libraries and evaluation harnesses read."""
