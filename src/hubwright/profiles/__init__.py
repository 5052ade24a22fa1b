"""What each person may have: sizes, images, limits. Nothing is decided here yet; the local engine has one size."""
