"""The job that the class archive is made from."""
