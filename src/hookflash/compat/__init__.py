"""Other people's wire formats, over what is ours."""
