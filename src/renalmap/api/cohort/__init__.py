"""What `renalmap segment` is made of: one scan (`scan`), a scan among others (`jobs`, `sidecar`), Dask, the table.

`scan` processes one scan, `jobs` one of several from marker to sidecar, `sidecar` records what was done, `cluster`
carries jobs to workers, `results` makes the table. `renalmap.api.segment` decides what is to be done. Dask is
imported only when a cluster is requested.
"""
