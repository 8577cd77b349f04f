"""Search policies of the offline model: small pure modules, one per way of looking for speed."""
