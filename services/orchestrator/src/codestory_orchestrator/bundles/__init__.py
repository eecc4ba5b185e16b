"""Support bundles: all that is known of one job and of the service around it, in one archive without secrets."""
