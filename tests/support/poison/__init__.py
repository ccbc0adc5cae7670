"""Pictures that crash and hang an engine process."""
