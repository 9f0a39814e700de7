"""marshmallow schemas of the public API: requests, responses and their field types."""
