"""The Vagrant lab's box and Docker image, from Debian packages and the local lab's root file system."""
