"""The certificate that the API server knows the webhook by: made, kept, renewed and served."""
