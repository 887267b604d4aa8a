"""Tests of a model's free-text reasons: words inserted, reasons cut and changed, contributions compared."""
