"""A user's folder of photos: what each file and folder in it is for."""
