"""Raw datasets, fetched and unpacked."""
