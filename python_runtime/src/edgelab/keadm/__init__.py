"""keadm: the command line that sets up, joins and inspects."""
