"""CertificateSigningRequests: what they ask for, what is valid, and who may approve and sign."""
