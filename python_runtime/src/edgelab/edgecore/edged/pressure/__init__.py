"""Node pressure: when memory, disk or process ids run short, room is made and pods are ended in order."""
