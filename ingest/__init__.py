"""The write path: what clients send becomes rated rows in the store, with an honest receipt."""
