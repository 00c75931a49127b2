"""Digits where people meet them: cropped, on plates, in form fields, on sheets in uneven light."""
