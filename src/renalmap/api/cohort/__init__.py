"""What `renalmap segment` is made of: one scan (`scan`), a scan among others (`targets`, `sidecar`), Dask, the table.

`scan` does one scan, `targets` does one of several from marker to sidecar, `sidecar` says what was done, `cluster`
carries targets to workers, `table` makes the table. `renalmap.api.segment` decides what is to be done. Dask is
imported only when a cluster is asked for.
"""
