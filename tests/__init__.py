"""The test-suite; its packages mirror the product's."""
