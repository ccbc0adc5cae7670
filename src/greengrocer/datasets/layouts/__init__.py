"""Any usual layout of labelled images, read into one object."""
