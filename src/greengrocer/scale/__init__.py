"""The service on more machines than one."""
