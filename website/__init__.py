"""The documentation's site: what MkDocs cannot do by itself. `make docs` builds it from docs/."""
