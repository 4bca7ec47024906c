"""Object storage: one S3 bucket for what holders hand in, what pipelines make and what runs leave behind."""
