"""The two demo datasets of batchframe and the script that builds them."""
