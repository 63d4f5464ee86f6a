"""HTTP manners shared by all routes."""
