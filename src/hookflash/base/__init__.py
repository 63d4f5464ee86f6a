"""Words with no opinions: ids, addresses, time, errors, secrets, cursors."""
