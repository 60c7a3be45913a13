"""Network to equivalent, faster network: graph passes, one file each, and the pipeline that runs them in order."""
