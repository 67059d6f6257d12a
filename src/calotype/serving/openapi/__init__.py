"""The service described for machines: Swagger 2.0, OpenAPI 3.0 and 3.1 from one contract."""
