"""Debian hosts of a lab on this machine: systemd-nspawn, an overlay each, a bridge between them.

Standard library only, so that it runs with the system's Python before anything is installed. Every
resource of a lab carries the lab's mark in its name, so that what a killed lab left behind is found
without any record of it.
"""
