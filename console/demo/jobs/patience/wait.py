"""Work that takes long."""

import time


def main(job):
    job.log(f"{len(job.table('payments'))} payments in the view")
    while True:
        time.sleep(0.2)
