"""Cost and speed of networks, measured in processes of their own."""
