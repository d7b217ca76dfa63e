// not shipped
