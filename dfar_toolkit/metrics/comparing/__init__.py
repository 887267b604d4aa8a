"""Any number of runs on the same items: differences, tests, families of tests, what could be detected."""
