"""The hot paths measured against what the same machine can do in the same minute."""
