"""MetaManager: what the cloud said, kept in SQLite, and the door to the cloud for edged."""
