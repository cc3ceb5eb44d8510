"""Cohorts: many scans in one go, in this process or on a Dask cluster, resumed where they were left.

`run` decides what is to be done, `jobs` does one scan, `sidecar` says what was done, `cluster` carries jobs to
workers, `results` makes the table. Dask is imported only when a cluster is asked for.
"""

from renalmap.api.cohort.connecting import ClusterRequest
from renalmap.api.cohort.jobs import CohortCase
from renalmap.api.cohort.run import CohortReport, CohortRequest, Listener, segment_cohort

__all__ = [
    "ClusterRequest",
    "CohortCase",
    "CohortReport",
    "CohortRequest",
    "Listener",
    "segment_cohort",
]
