"""The Device Management Interface: messages generated from api.proto, and what they are made of."""
